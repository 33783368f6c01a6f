from hypothesis import settings

settings.register_profile("regrow", deadline=None)  # the machine may be busy
settings.load_profile("regrow")
