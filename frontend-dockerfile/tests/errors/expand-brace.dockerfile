FROM alpine
ENV a=${b
ENV c="${d"
LABEL e=${f:-${g}
