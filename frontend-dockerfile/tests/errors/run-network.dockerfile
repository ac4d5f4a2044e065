FROM alpine
RUN --network=hots true
RUN --network= true
RUN --network=bridge true
