"""What a device needs beside a bundle, where no Python runs. Sources lie under export/."""
