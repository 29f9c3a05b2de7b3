"""Give the arguments, the directory, the environment and the streams to a fork of a server with pip; wait for its end."""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
    connection.connect("\0" + os.environ["JOBCELL_WARM_PIP"])
    request = {
        "source": "from pip._internal.cli.main import main\nraise SystemExit(main())",
        "argv": ["pip", *sys.argv[1:]],
        "env": {k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        "cwd": os.getcwd(),  # noqa: PTH109 - pathlib takes long to import
        "warnings": [],
        "real_end": False,
    }
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    said = b""
    while part := connection.recv(100):
        said += part
raise SystemExit(int(said.split()[1]))
