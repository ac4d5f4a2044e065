FROM alpine
VOLUME
VOLUME []
VOLUME ["/data", " "]
VOLUME ["/data", 1]
