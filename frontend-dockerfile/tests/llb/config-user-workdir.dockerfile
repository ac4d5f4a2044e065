FROM busybox
USER app:staff
WORKDIR rel
WORKDIR sub/../other
WORKDIR /abs/
USER 12:34
WORKDIR x y
USER root
WORKDIR /r
WORKDIR /
WORKDIR .
RUN pwd
