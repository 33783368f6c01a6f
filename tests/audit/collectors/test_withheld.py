# ruff: noqa: RUF001
"""Data that a maker says not to give. python -m pytest tests/audit/collectors/test_withheld.py"""

import time

import pytest

from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.facts import Basis, Component, ComponentFact, State

from .making import TODAY


def withheld(body: str) -> list[ComponentFact]:
    found = card.read(Text("README.md", f"# Kitten-7B\n\n{body}\n", "", "card", TODAY))
    return [
        one
        for one in found
        if isinstance(one, ComponentFact) and one.component is Component.DATASETS and one.state is State.ABSENT
    ]


ENGLISH = [
    "The training data is undisclosed and will not be released.",
    "We do not disclose the training data.",
    "The data it was trained on has not been disclosed.",
    "Our pre-training corpus is proprietary.",
    "Kitten was trained on proprietary data.",
    "It was fine-tuned on an internal dataset of purrs.",
    "The dataset cannot be shared for legal reasons.",
    "For legal reasons we are unable to share the dataset.",
    "The corpus will not be made publicly available.",
    "We will not release the tuning data.",
    "The model was trained on a private dataset.",
    "Trained on a mixture of public and private data.",
    "The training mixture combines Wikipedia with licensed and confidential datasets.",
    "The instruction data is kept confidential.",
    "Because of copyright the training corpus can't be published.",
    "The training set remains a trade secret.",
    "No details about the training data are published.",
    "We have no plans to release the dataset.",
    "The dataset used for training is not public.",
    "The training data is not open-sourced.",
    "The training data isn't publicly available.",
    "We chose not to publish our corpus.",
    "The corpus is closed.",
    "It learned from in-house data that was annotated by veterinarians, after being trained on Wikipedia.",
    "Kitten was developed on an unpublished corpus of letters.",
    "The training data is owned by the clinic and must not be redistributed; the data may never be shared.",
    "The training datasets are internal to our company.",
    "Due to a contract with the publisher, the dataset cannot be distributed.",
    "The recordings come from a database which is not publicly accessible.",
    "Training data: undisclosed",
    "Training data: proprietary",
    "Dataset: not disclosed",
    "| Training data | Proprietary |",
    "We keep the training data secret.",
    "The company declined to disclose the training data.",
    "The model was trained on internally collected dialogue data.",
    "The training corpus (not publicly available) has letters of three centuries.",
    "The dataset has not been released yet.",
    "The composition of the training data is not disclosed.",
    "Details of the pretraining data remain undisclosed.",
    "Details about the training dataset have not been made public.",
    "The training corpus is not available to the public.",
    "We are not able to share the training data.",
    "The data used to train this model cannot be made public.",
    "The data used to train the model is not available.",
    "We can't release the data because of licensing restrictions.",
    "Owing to licensing restrictions the corpus cannot be redistributed.",
    "The training data will not be open-sourced.",
    "The data set is proprietary and cannot be shared.",
    "The model was trained on an undisclosed mixture of web data.",
    "Trained on private data.",
    "The model has been fine-tuned on a proprietary dataset of customer support tickets.",
    "This model was trained on data that is not publicly available.",
    "Our training data is not for release.",
    "The training data stays internal.",
    "Training data sources are not disclosed.",
    "The exact training data has not been revealed by its authors.",
    "Training Data: Not publicly disclosed.",
    "- **Training data:** Not disclosed",
    "**Dataset**: Internal",
    "The dataset is private.",
    "Neither the data nor the recipe is released.",
    "We do not plan to release the training data.",
    "There are no plans to release the training data.",
    "The data is withheld.",
    "The training data is available on request only under an NDA and is not public.",
    "The datasets are not released due to privacy concerns.",
    "Training data is closed source.",
    "Pretraining data: closed",
    "The pre-training data is a trade secret of the company.",
    "We don't provide the training data.",
    "The training data is not provided.",
    "We are unable to disclose the sources of the training data.",
    "The model was trained on a large internal corpus.",
    "A dataset owned by Corp, which is not shared publicly, was used for training.",
    "The data is licensed from third parties and cannot be shared.",
    "It was trained with a combination of public datasets and proprietary data.",
    "The training set is not public.",
]

OTHERS = [
    "训练数据不公开。",
    "本模型的预训练语料暂不对外公开。",
    "由于法律原因，训练数据无法共享。",
    "模型在私有数据集上训练。",
    "训练数据：未披露",
    "我们不会公开训练数据。",
    "学習データは非公開です。",
    "事前学習に使用したデータは公開していません。",
    "学習データセットは公開されておりません。",
    "社内のデータで学習しました。",
    "학습 데이터는 공개하지 않습니다.",
    "사전학습 말뭉치는 비공개입니다.",
    "이 모델은 내부 데이터로 학습되었습니다.",
    "Los datos de entrenamiento no son públicos.",
    "El corpus de entrenamiento es confidencial.",
    "No publicamos los datos de entrenamiento.",
    "El modelo se entrenó con datos privados.",
    "Les données d'entraînement ne sont pas publiées.",
    "Le corpus ne sera pas partagé pour des raisons juridiques.",
    "Le modèle a été entraîné sur un corpus propriétaire.",
    "Die Trainingsdaten werden nicht veröffentlicht.",
    "Der Trainingskorpus ist vertraulich.",
    "Das Modell wurde mit internen Daten trainiert.",
    "Os dados de treinamento não serão divulgados.",
    "O modelo foi treinado com dados privados.",
    "The training data is partly undisclosed.",
    "The training data is only partially public.",
    "Some of the training data is proprietary.",
    "Part of the training data cannot be released.",
    "Training data: a mix of public and private datasets",
    "It was trained on publicly available data and internal datasets.",
    "训练数据不予公开。",
    "训练数据属于公司机密。",
    "训练语料为内部数据，不对外提供。",
    "训练数据集暂不开源。",
    "使用了未公开的数据进行训练。",
    "我们没有公开训练数据。",
    "训练数据：保密",
    "数据集不能公开。",
    "出于版权原因，训练数据不会发布。",
    "由于隐私问题，数据集无法公开。",
    "本模型使用私有数据训练。",
    "学習データは公開されていません。",
    "学習データの詳細は非公開です。",
    "学習データは公開できません。",
    "学習に用いたデータセットは公開していません。",
    "学習データは公開する予定はありません。",
    "非公開のデータで学習しました。",
    "学習データ：非公開",
    "法的な理由により、データセットは共有できません。",
    "社内データセットを用いて学習しています。",
    "학습 데이터는 비공개입니다.",
    "학습 데이터는 공개되지 않았습니다.",
    "학습 데이터셋은 공개할 수 없습니다.",
    "법적인 이유로 데이터를 공유할 수 없습니다.",
    "비공개 데이터로 학습하였습니다.",
    "데이터셋: 비공개",
    "사내 데이터로 파인튜닝했습니다.",
    "학습에 사용된 데이터는 공개하지 않습니다.",
    "Los datos de entrenamiento no se han publicado.",
    "Los datos de entrenamiento no han sido divulgados.",
    "Los datos de entrenamiento no se pueden compartir por razones legales.",
    "Los datos de entrenamiento no están disponibles públicamente.",
    "Los datos de entrenamiento son privados.",
    "El conjunto de datos es propietario y no se publicará.",
    "No se divulgan los datos de entrenamiento.",
    "Entrenado con un corpus privado.",
    "El modelo fue entrenado con datos internos.",
    "Datos de entrenamiento: no divulgados",
    "Les données d'entraînement ne sont pas publiques.",
    "Les données d'entraînement ne sont pas divulguées.",
    "Les données d'entraînement sont confidentielles.",
    "Le jeu de données ne peut pas être partagé.",
    "Nous ne publions pas les données d'entraînement.",
    "Nous ne divulguons pas le corpus.",
    "Le modèle a été entraîné sur des données privées.",
    "Données d'entraînement : non divulguées",
    "Les données d'entraînement ne seront pas rendues publiques.",
    "Pour des raisons légales, les données ne peuvent être partagées.",
    "Die Trainingsdaten sind nicht öffentlich.",
    "Die Trainingsdaten sind nicht öffentlich zugänglich.",
    "Die Trainingsdaten können aus rechtlichen Gründen nicht weitergegeben werden.",
    "Wir veröffentlichen die Trainingsdaten nicht.",
    "Der Datensatz ist nicht öffentlich verfügbar.",
    "Trainiert auf proprietären Daten.",
    "Trainingsdaten: nicht offengelegt",
    "Die Daten werden nicht geteilt.",
    "Os dados de treinamento não são públicos.",
    "Os dados de treinamento não foram divulgados.",
    "Não divulgamos os dados de treinamento.",
    "Os dados de treino são confidenciais.",
    "O conjunto de dados é privado.",
    "Treinado em um corpus proprietário.",
]


@pytest.mark.parametrize("said", [*ENGLISH, *OTHERS])
def test_what_is_not_given_is_a_declared_fact(said: str) -> None:
    [fact] = withheld(said)
    assert fact.basis is Basis.DECLARED
    assert fact.where in said.replace("**", "")
    assert fact.evidence.locator == "line 3"


@pytest.mark.parametrize(
    "said", ["Not disclosed.", "Proprietary", "Undisclosed", "Confidential", "未公开", "非公開", "비공개"]
)
def test_a_word_is_enough_below_a_heading_about_training_data(said: str) -> None:
    assert withheld(f"## Training Data\n\n{said}")
    assert not withheld(f"## Contact\n\n{said}")


@pytest.mark.parametrize(
    "said",
    [
        "We do not disclose the evaluation prompts.",
        "The test data is not public, so that nobody trains on it.",
        "The data of GPT-4 is not disclosed.",
        "GPT-4's training data is undisclosed.",
        "Lion-7B's training data was never released.",
        "The data used to train Lion is proprietary.",
        "Unlike models with undisclosed training data, everything about Kitten is open.",
        "Most labs do not disclose their training data.",
        "The base model's training data is not disclosed.",
        "The training data will be released next month.",
        "The training data is public.",
        "The training data is not private.",
        "The data is not proprietary.",
        "No proprietary data was used for training.",
        "It was trained without any private data.",
        "Kitten was trained only on public data and not on proprietary data.",
        "It was trained on open texts instead of proprietary data.",
        "Private information was removed from the training data.",
        "We filtered personal and confidential information out of the training data.",
        "The training data does not contain private data of people.",
        "The model may leak private data that was seen in training.",
        "You can fine-tune it on your private data.",
        "It can be fine-tuned on proprietary data.",
        "If you have internal data, train an adapter.",
        "Your data is never shared with third parties.",
        "The tokenizer was trained with a proprietary tool on public data.",
        "We use an internal framework for data processing.",
        "The model does not share parameters between layers; data is read once.",
        "The data is not only public, it is in the public domain.",
        "The dataset is available in English, but not in Latin.",
        "The training code is not released, but the weights are.",
        "Data parallel training is not available here.",
        "The corpus does not contain publicly available poems only.",
        "我们没有使用私有数据训练。",
        "训练数据已经公开。",
        "评测数据不公开。",
        "非公開データは学習に使用していません。",
        "学習データは公開されています。",
        "학습 데이터는 공개되어 있습니다.",
        "Los datos de entrenamiento son públicos.",
        "Les données d'entraînement sont publiques.",
        "Aucune donnée privée n'a servi à l'entraînement.",
        "Die Trainingsdaten sind öffentlich.",
        "Das Modell wurde ohne private Daten trainiert.",
        "Os dados de treinamento são públicos.",
        "No publicamos datos de latencia.",
        "训练数据全部公开。",
        "训练数据来自公开数据集。",
        "未使用任何私有数据。",
        "用户数据不会被公开。",
        "模型不开源，但训练数据公开。",
        "训练数据不包含个人信息。",
        "基座模型的训练数据未公开。",
        "学習データはすべて公開データです。",
        "公開データのみで学習し、非公開データは含まれていません。",
        "評価データは非公開です。",
        "モデルの重みは非公開ですが、学習データは公開しています。",
        "학습 데이터는 모두 공개 데이터입니다.",
        "비공개 데이터는 사용하지 않았습니다.",
        "평가 데이터는 비공개입니다.",
        "사용자 데이터는 공유하지 않습니다.",
        "Los datos de entrenamiento están disponibles públicamente.",
        "No se usaron datos privados.",
        "Los datos de evaluación no son públicos.",
        "El código no es público.",
        "Los datos privados fueron eliminados.",
        "Les données d'entraînement sont disponibles publiquement.",
        "Nous n'avons pas utilisé de données privées.",
        "Les données d'évaluation ne sont pas publiques.",
        "Le modèle n'a pas été entraîné sur des données privées.",
        "Die Trainingsdaten sind öffentlich verfügbar.",
        "Es wurden keine privaten Daten verwendet.",
        "Die Testdaten sind nicht öffentlich.",
        "Die Daten sind nicht vertraulich.",
        "Os dados de treinamento estão disponíveis publicamente.",
        "Não usamos dados privados.",
        "Os dados de avaliação não são públicos.",
        "Nenhum dado privado foi usado.",
        "Los datos de entrenamiento no son privados.",
        "Les données d'entraînement ne sont pas privées.",
        "Os dados de treinamento não são privados.",
        "训练数据不是私有的。",
        "学習データは非公開ではありません。",
        "학습 데이터는 비공개가 아닙니다.",
        "The training data is not undisclosed.",
        "All data is disclosed.",
        "We disclose the training data.",
        "The dataset is publicly available.",
        "The model does not use private data.",
        "None of the training data is proprietary.",
        "No internal or private data was used in training.",
        "The training data is fully open, nothing is withheld.",
        "We release the training data, unlike others, who keep theirs private.",
        "The weights are private; the data is public.",
        "The data is hosted in a private bucket mirror and at https://example.org.",
        "The internal representation of the data is 16 bit.",
        "This model can process confidential data.",
        "Do not share the data with children.",
        "The training data is shared under CC0.",
        "The training data is not only English.",
        "The test set is private.",
        "The leaderboard uses a private dataset.",
        "We did not train on private data.",
        "The training data has no confidential parts.",
        "The model was trained on public data, and proprietary models do worse.",
        "The model's training data includes emails, from which private information was removed.",
        "The license is proprietary.",
        "The model is proprietary but its training data is public.",
        "The training data was not filtered.",
        "Personal data was never shared.",
        "It is not known whether the data was released.",
        "The dataset was released privately in 2020 and publicly in 2021.",
        "Data privacy is important; run it internally.",
        "The training data is described below and not in the paper.",
        "GPT-4 was trained on undisclosed data.",
        "Responses were generated by GPT-4, whose training data is undisclosed.",
        "We do not publish data on latency.",
        "The data is public, but the code is proprietary.",
        "The data is read by a tool that is not public, and the format is proprietary.",
    ],
)
def test_what_is_about_something_else_or_given_is_none(said: str) -> None:
    assert not withheld(said)


def test_data_of_an_evaluation_may_be_secret() -> None:
    assert not withheld("## Evaluation\n\nThe dataset is proprietary.")


def test_a_model_that_is_tuned_is_told_from_the_one_it_is_tuned_from() -> None:
    assert withheld("A Llama model that was fine-tuned on a private dataset.")
    assert not withheld("Llama was trained on a private dataset.")


@pytest.mark.parametrize(
    "piece", ["data is ", "private ", "data ", "not released ", "(", "训练数据", "データ", "we do not release "]
)
def test_time_grows_with_the_length_of_a_text_and_not_faster(piece: str) -> None:
    def seconds(length: int) -> float:
        text = "## Data\n\n" + "\n\n".join([piece * (690 // len(piece))] * (length // 690))
        started = time.perf_counter()
        withheld(text)
        return time.perf_counter() - started

    assert min(seconds(21_000) for _ in range(2)) < 24 * max(seconds(2_800), 0.005)
