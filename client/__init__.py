"""Asks the service for ages, over REST or gRPC; needs the extra `client` of setup.cfg."""
