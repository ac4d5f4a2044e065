FROM scratch
MAINTAINER Some One <one@example.org>
EXPOSE 8080/UDP 80 9000-9002
VOLUME /data ["x"]
VOLUME ["/a b", "/c"]
USER 1000:app
STOPSIGNAL SIGRTMIN+3
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN shell form
RUN ["exec", "form", "\u00e9"]
HEALTHCHECK --interval=90s --retries=3 CMD curl -f http://localhost/
HEALTHCHECK CMD ["test", "x"]
ONBUILD COPY . /src
CMD a "b"
ENTRYPOINT x
CMD ["y"]
WORKDIR /
WORKDIR a/../b
