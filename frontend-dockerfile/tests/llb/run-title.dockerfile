FROM busybox
ARG A=1
RUN echo $A ${A} $B "$A" '$A' \$A ${B:-x}
WORKDIR "/q $A"
COPY "a$A" '$A' /x/
