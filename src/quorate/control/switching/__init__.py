"""What changing the answerer of an endpoint costs and brings: promised before, measured after."""
