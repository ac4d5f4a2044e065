FROM llb-full:1
LABEL a=1 "b c"="d e"
LABEL old style value
MAINTAINER someone
EXPOSE 8080 9000-9002/udp 53/UDP
VOLUME /v1 /v2
VOLUME ["/v3"]
STOPSIGNAL SIGTERM
STOPSIGNAL 9
SHELL ["/bin/bash", "-c"]
USER bob
CMD echo hi
HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=4s --retries=5 CMD curl localhost
ENTRYPOINT ["/e", "x"]
ONBUILD RUN later
RUN x
