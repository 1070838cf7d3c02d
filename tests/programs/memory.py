"""Shows what memory this process takes."""


def memory(name):
    """GiB that this process has now, VmRSS, or had at most, VmHWM."""
    with open("/proc/self/status") as status:
        _, after = status.read().split(f"{name}:")
    return int(after.split()[0]) / 2**20
