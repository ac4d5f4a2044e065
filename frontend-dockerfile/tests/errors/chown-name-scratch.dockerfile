FROM scratch
COPY --chown=bob:staff a /b
USER app
WORKDIR /x
