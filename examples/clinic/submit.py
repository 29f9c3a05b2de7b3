# Plays the register. Like a real register, it accepts only a limited number of entries at once.
class BundleTooLarge(Exception):
    pass


def main(state):
    limit = state.configuration.max_entries
    size = len(state.data.entry)
    if size > limit:
        raise BundleTooLarge(f"{size} entries in one bundle; the register takes {limit}")
    return {"data": {"submitted": size}}
