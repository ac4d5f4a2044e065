FROM busybox
HEALTHCHECK CMD ["curl", "-f", "x"]
HEALTHCHECK --retries=3 CMD true && false
