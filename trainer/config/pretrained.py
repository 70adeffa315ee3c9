"""Where the pre-trained parts of a ranker come from. Imports no torch."""

from pathlib import Path

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.text_model import model_folder, text_model
from nightrank.ranker.config.encoders import BehaviourTextConfig, CausalLmConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.text.architecture import architecture_of
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.training import TrainerConfig


def text_folder(job: Job, model: RankerConfig, snapshot: DatasetSnapshot) -> Path | None:
    """The model folder where `model` reads texts itself, else None. DataContractError where the configured encoder is not that
    of the snapshot: its tokens would mean other words."""
    if not model.reads_texts or snapshot.text_width == 0:
        return None
    found = text_model(job.text)
    if found is None or found.revision != snapshot.text_revision:
        raise DataContractError(
            f"text.encoder {job.text.encoder} is not the encoder of the texts of snapshot {snapshot.id[:12]}",
            "run `nightrank full` with this text.encoder, or set the previous one",
        )
    return found.folder


def with_architectures(config: TrainerConfig, text: TextSettings) -> TrainerConfig:
    """The same configuration with the architecture of the user encoder's pre-trained part written into it, so that a bundle
    opens without the folder. ConfigError names a folder that holds no model."""
    encoder = config.model.encoder
    folder = user_folder(config.model, text)
    if folder is None or not isinstance(encoder, BehaviourTextConfig | CausalLmConfig) or encoder.architecture is not None:
        return config
    filled = encoder.model_copy(update={"architecture": architecture_of(folder)})
    return config.model_copy(update={"model": config.model.model_copy(update={"encoder": filled})})


def user_folder(model: RankerConfig, text: TextSettings) -> Path | None:
    """The model folder that the user encoder starts from; None where it starts from nothing."""
    if isinstance(model.encoder, BehaviourTextConfig):
        found = text_model(text)
        return None if found is None else found.folder
    if isinstance(model.encoder, CausalLmConfig) and model.encoder.model is not None:
        return model_folder(model.encoder.model, "trainer.model.encoder.model")
    return None
