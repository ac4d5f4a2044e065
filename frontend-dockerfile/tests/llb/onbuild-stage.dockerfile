FROM busybox AS base
ONBUILD ENV A=1
ONBUILD RUN echo $A
ONBUILD COPY --from=busybox /bin/sh /x
ONBUILD WORKDIR /ob
FROM base AS child
RUN own
FROM child
RUN grand
