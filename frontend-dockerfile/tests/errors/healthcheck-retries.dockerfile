FROM alpine
HEALTHCHECK --retries=-1 CMD true
HEALTHCHECK --retries=many CMD true
HEALTHCHECK --retries=3.5 CMD true
