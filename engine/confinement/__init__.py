"""What is arranged around a child from outside: policy, interpreter, environment, cgroup."""
