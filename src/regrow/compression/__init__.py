"""Making models smaller: fewer bits for a number, or none, chosen by what a calibration text has the matrices read."""
