import pytest
import timm

from train.imagenet import PACKAGES, with_timm_names

BACKBONE = "mobilenetv3_small_050"


def test_weights_of_something_else():
    with pytest.raises(ValueError, match="these are not the weights of resnet18"):
        with_timm_names("resnet18", timm.create_model(BACKBONE).state_dict())


def test_packages_are_pinned():
    for package in PACKAGES:
        assert package.backbone in timm.list_models()
        assert "==" in package.requirement
        assert len(package.sha256) == 64
        assert package.provenance().last.terms.use == "licence"
