FROM busybox
ENV $nothing=x A=
LABEL $nothing=y "$nothing z"=1
RUN env
