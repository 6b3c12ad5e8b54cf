"""Which images are not like the good ones, and where: scores, thresholds that hold, heat maps.

numpy alone. A monitor is fitted on a device, on good images, and is kept in the bundle.
"""
