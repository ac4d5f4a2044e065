FROM busybox
ARG U=someone
COPY --chown=1:2 a /1
COPY --chown=5 a /2
COPY --chown=bob a /3
COPY --chown=bob:staff a /4
COPY --chown=$U:0 a /5
COPY --chown=root:root a /6
COPY --chmod=0755 a /7
COPY --chmod=7777 a /8
COPY --chmod=u+rwX,go-w a /9
COPY --chown=1:1 --chmod=600 a b /10/
COPY --chown=:3 a /11
COPY --chown=4294967295 a /12
COPY --chown=bob: a /13
