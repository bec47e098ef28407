"""The model against readers: agreement, paired decisions, multi-reader AUC."""
