FROM alpine
COPY --chown a b
RUN --mount true
HEALTHCHECK --interval CMD true
COPY --exclude a b
