FROM busybox
ARG V=val EMPTY=
ENV D=${NOPE-x} E=${EMPTY:-y} F=${V:+set} G=${V#v} H=${V%l} I=${V/a/b} J='$V' K="$V" L=\$V
RUN echo $D
WORKDIR /${V}
USER ${V}
