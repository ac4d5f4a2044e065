FROM busybox
ENV A=1
ENV B=2
ARG C=3
RUN one
ENV A=4
RUN two
ARG B=5
ENV C=6
RUN three
ENV X=$A Y=$B A=7
RUN four
