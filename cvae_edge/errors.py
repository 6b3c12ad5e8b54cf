"""The package's exceptions. A message is one sentence: the rule, what was got, what to do."""


class CvaeEdgeError(Exception):
    """Base of every error that a user can cause; the command line prints it and exits with 2."""


class ConfigError(CvaeEdgeError):
    """A setting lies outside what is allowed."""


class DataError(CvaeEdgeError):
    """Images cannot be read, or are not what a model takes."""


class DataWarning(UserWarning):
    """Data was passed over; the message names it."""


class RunError(CvaeEdgeError):
    """A run folder is missing, unfinished, damaged or another model's."""


class RunWarning(UserWarning):
    """A run is used although something speaks against it; the message says what."""


class TrainingError(CvaeEdgeError):
    """Training cannot go on."""


class BundleError(CvaeEdgeError):
    """A bundle is missing, damaged, unsafe or of an unknown version."""


class ParityError(CvaeEdgeError):
    """An exported file does not do what the trained model does."""


class DependencyError(CvaeEdgeError):
    """An optional package is needed and not installed."""


class BenchmarkError(CvaeEdgeError):
    """A configuration could not be measured."""


class BenchmarkWarning(UserWarning):
    """A measurement may mislead; the message says why."""
