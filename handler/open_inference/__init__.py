"""The open inference protocol, versions 1 and 2 over REST: several images in one request.

TorchServe passes no path to a handler, so that the body tells a version: `instances` or `inputs`.
"""
