"""The Open Inference Protocol v2 over gRPC (extra ``grpc``); a worker imports :mod:`server` only where it is used."""
