FROM alpine
COPY --chown=1 --chown=2 a b
RUN --network=none --network=host true
