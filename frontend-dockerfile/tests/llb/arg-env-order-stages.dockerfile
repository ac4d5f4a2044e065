FROM llb-full:1 AS one
ARG Z=1
ENV B=one
ENV C=1
RUN one
FROM one
ARG B=two
RUN two
FROM one
ENV A=late
RUN three
