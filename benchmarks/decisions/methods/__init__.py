"""Is a forecaster that is trained on decisions worth more than one that is calibrated?"""
