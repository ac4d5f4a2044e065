#! build-arg A=given
FROM busybox
ARG A=default B=$A
ARG C
ENV A=env
ARG A
RUN echo $A $B
