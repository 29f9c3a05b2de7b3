"""What can go wrong on the wire, told apart by whose fault it is."""


class ProtocolError(Exception):
    """A message or a frame that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """This side tried to send what it may not send: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what it may not send.  The text quotes it cut and in ASCII."""
