FROM alpine
ENV a=${b#\x} c=1
