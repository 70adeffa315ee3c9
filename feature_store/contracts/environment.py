"""What of the environment a run's processes are given. Secrets go by an allow-list; `trainer.environment` names more."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from nightrank.feature_store.contracts.secrets import looks_secret, without_credentials

PLAIN: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_*", "VIRTUAL_ENV", "PYTHON*", "XDG_CACHE_HOME", "SSH_AUTH_SOCK", "NO_COLOR"),
    *("OMP_*", "MKL_*", "KMP_*", "GOMP_*", "OPENBLAS_*", "NUMEXPR_*", "CUDA_*", "CUBLAS_*", "NVIDIA_*", "NCCL_*", "TORCH*"),
    *("HOROVOD_*", "GLOO_*", "JAVA_HOME", "SPARK_HOME", "SPARK_LOCAL_*", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR"),
    *("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "HF_*", "TRANSFORMERS_*", "TOKENIZERS_*", "DO_NOT_TRACK", "NIGHTRANK_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""A `*` at the end stands for any rest. SSH_AUTH_SOCK is a path, by which horovodrun reaches other hosts."""
STORAGE: Final = ("AWS_*", "S3_*", "AZURE_*", "GOOGLE_*", "CLOUDSDK_*", "ALIBABA_CLOUD_*", "OSS_*", "OCI_*")
"""Where a bucket's server is, and what opens it."""
CHAINS: Final = (
    *STORAGE,
    *("HADOOP_*", "HDFS_*", "YARN_*", "HIVE_*", "KRB5*", "SPARK_*", "PYSPARK_*", "JAVA_*", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"),
    *("MLFLOW_*", "DATABRICKS_*", "PG*", "MYSQL_*", "HF_*", "HUGGING_FACE_*", "NIGHTRANK_*", "SSH_AUTH_SOCK"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
"""Where libraries of a stage look for credentials: storage, Hadoop and Spark, MLflow and its databases, the hub, a proxy."""


def plain(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may stand on a command line."""
    return {name: value for name, value in environ.items() if _listed(name, PLAIN) and not _hides(name, value)}


def named(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """The variables of those names or patterns, secrets among them."""
    return {name: value for name, value in environ.items() if _listed(name, names)}


def for_stages(environ: Mapping[str, str], names: tuple[str, ...] = ()) -> dict[str, str]:
    """What the run's own processes are given: all but what looks like a secret, and of that what is of CHAINS or of `names`."""
    given = (*CHAINS, *names)
    return {name: value for name, value in environ.items() if not _hides(name, value) or _listed(name, given)}


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _hides(name: str, value: str) -> bool:
    return (looks_secret(name) and name != "SSH_AUTH_SOCK") or without_credentials(value) != value
