FROM alpine
HEALTHCHECK --interval=30 CMD true
HEALTHCHECK --timeout=1d CMD true
HEALTHCHECK --start-period=10us CMD true
HEALTHCHECK --start-interval=-5s CMD true
