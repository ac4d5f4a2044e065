FROM alpine
SHELL
SHELL []
SHELL /bin/bash -c
SHELL ['/bin/bash', '-c']
SHELL ["/bin/bash", 1]
