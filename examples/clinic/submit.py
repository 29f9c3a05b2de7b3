# Stands for the register. Like a real one, it takes only so much at once.
class BundleTooLarge(Exception):
    pass


def main(state):
    limit = state.configuration.max_entries
    size = len(state.data.entry)
    if size > limit:
        raise BundleTooLarge(f"{size} entries in one bundle; the register takes {limit}")
    return {"data": {"submitted": size}}
