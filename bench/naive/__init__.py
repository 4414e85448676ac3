"""What a competent user would write without this project, to compare with."""
