# The web page on a CPU:
#   docker build -t faststyle . && docker run -p 7860:7860 faststyle
FROM python:3.12-slim
RUN useradd --create-home faststyle
WORKDIR /home/faststyle/app
COPY pyproject.toml README.md LICENSE ./
COPY faststyle faststyle
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir ".[cpu,video,web]"
USER faststyle
EXPOSE 7860
CMD ["faststyle", "web", "--host", "0.0.0.0", "--port", "7860"]
