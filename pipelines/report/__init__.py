"""The report of a night: what its owner asks in the morning, as figures and as one page of HTML."""
