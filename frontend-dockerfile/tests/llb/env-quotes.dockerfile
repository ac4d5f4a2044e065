FROM busybox
ENV A="x y" B='x $A' C=a\ b
ENV legacy some  value here
ENV MULTI=1 \
    LINES=2
RUN env
