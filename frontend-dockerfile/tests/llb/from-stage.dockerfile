FROM busybox AS base
ARG V=1
ENV A=1
FROM base AS next
RUN echo $V
FROM next
ENV A=2
RUN echo $A
