"""The schema of the toy's presets."""

from g3d import config
from g3d.config import Schema


class ModelConfig(Schema):
    vocabulary: tuple[str, ...] = ()  # the words of the training sentences: `resolve` fills it in


class Config(config.Config):
    model: ModelConfig = ModelConfig()
