"""Rolling a new version of a model out beside the one that serves; `face-age rollout`."""
