FROM alpine
ENV a=${b
COPY ${x^} /y
USER ${u:?no user}
WORKDIR ${}
STOPSIGNAL SIGTREM
EXPOSE 80/http
COPY --chmod=9 a b
ADD --checksum=sha256:xyz https://example.org/x /
ADD --checksum=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa a b
COPY https://example.org/x /
COPY https://example.org/x.git /
VOLUME $unset
RUN --mount=target=${t:-/} true
ENV $unset=1
