#! build-arg HTTP_PROXY=http://proxy:3128
#! build-arg from_user=given
ARG global=g
FROM alpine
ARG global
ARG from_user=default undeclared
ENV a=1 b=$a
ENV a=2 b=$a "c d"='x $a' e=\$a
ENV legacy one two  $a
ARG a=3
RUN echo $a
LABEL "k$b"="v ${a:-none}" other=plain
