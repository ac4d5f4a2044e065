FROM alpine
WORKDIR ${}
USER ${{x}}
ENV a=${:-x}
