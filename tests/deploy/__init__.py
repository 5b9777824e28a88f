"""The files in deploy/: they are valid, and agree with the application and with each other."""
